def pytest_configure(config):
    # brainstate's own tests use this marker, and --strict-markers needs it to be declared.
    config.addinivalue_line("markers", "slow: what brainstate's suite calls slow")
