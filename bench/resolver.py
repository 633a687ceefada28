"""A DNS resolver for the benchmark alone: every name has an address, and nothing else. The port is the first line.

As resolvers do, it says of what is not there which zone says so (RFC 2308): its own, example.com.
"""

import socket

ADDRESS = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc0\x00\x02\x01"  # 192.0.2.1, for the name asked for
A = 1
ZONE = b"\x07example\x03com\x00"
NUMBERS = (1).to_bytes(4, "big") * 5
SOA = ZONE + b"\x00\x06\x00\x01\x00\x00\x01\x2c" + len(2 * ZONE + NUMBERS).to_bytes(2, "big") + 2 * ZONE + NUMBERS


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        print(ear.getsockname()[1], flush=True)
        while True:
            asked, there = ear.recvfrom(4096)
            end = 12
            while asked[end]:
                end += asked[end] + 1
            end += 5
            found = int.from_bytes(asked[end - 4 : end - 2], "big") == A
            counts = bytes((0, 1, 0, found, 0, not found, 0, 0))
            ear.sendto(asked[:2] + b"\x81\x80" + counts + asked[12:end] + (ADDRESS if found else SOA), there)


if __name__ == "__main__":
    main()
