"""Why would a validation fail? DNS, CAA, the challenged names and the token pages say; the answer is findings."""
