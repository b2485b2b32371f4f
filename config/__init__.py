"""Settings, logging, and who calls: the only reader of the environment, the only logging set-up. Imports nothing of ours."""
