"""Whatever fails, at any time: nothing is lost, nothing is counted twice, and the next run recovers.

A trial is an app whose connections pass through wires, which can be cut, truncated or delayed. Its user API
changes once a simulated day. After each day the trial's database is compared with that of an undisturbed app,
and the tables and Redis are checked for violated invariants.
"""
