"""What works on this machine, what does not, and why: `tdnet-doctor`. Looks and writes nothing.

Whatever is broken is a finding, never an exception: each check is by itself, and what may take the process down (imports of
native libraries, opening a bundle) happens in a child process with a time limit.
"""
