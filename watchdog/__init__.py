"""certpack-watchdog: restarts timed-out validations of Cloudflare certificate packs, and says why they failed.

It watches the certificate packs of the zones in one YAML file. The only thing it may change is an *advanced* pack in
``validation_timed_out``: it sends ``PATCH /zones/{zone}/ssl/certificate_packs/{pack}`` with the body ``{}``, within a
backoff that survives the process. It never orders, edits or deletes a pack, never changes a validation method, and
never sends that PATCH twice because an answer was unclear.
"""
