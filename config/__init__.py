"""Settings and logging: the only reader of the environment, and the only logging set-up. Imports nothing of ours."""
