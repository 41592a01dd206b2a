import pytest
import torch


def pytest_configure(config):
    # brainstate's own tests carry it, and --strict-markers wants every marker known.
    config.addinivalue_line("markers", "slow: what brainstate's suite calls slow")


@pytest.fixture
def one_thread():
    """For small layers others only get in the way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
