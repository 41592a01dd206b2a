def pytest_configure(config):
    # brainstate's own tests carry it, and --strict-markers wants every marker known.
    config.addinivalue_line("markers", "slow: what brainstate's suite calls slow")
