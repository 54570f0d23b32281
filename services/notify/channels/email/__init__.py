"""Email: MIME messages, handed over by SMTP."""
