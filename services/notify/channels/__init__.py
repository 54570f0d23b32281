"""The ways to a person: a folder for each, with how a message is built and how it leaves."""
