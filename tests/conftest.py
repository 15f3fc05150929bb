"""Settings shared by every test: the same examples each run."""

from hypothesis import settings

# Derandomised: a red run can be repeated by whoever sees it. No deadline: machines are shared.
settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")
