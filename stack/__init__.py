"""The embedded stack: everything the suite needs, on one machine, without Docker or root.

* `ports`       fixed ports on 127.0.0.1, or the next free ones
* `processes`   a process that outlives its parent, and how it is found again
* `kafka`       Apache Kafka, one KRaft node
* `postgres`    PostgreSQL, and the databases and roles of the services
* `infra`       Kafka and PostgreSQL together, for tests and measurements
* `mail`, `sms` where mails and SMS go: sinks with fault modes
* `supervisor`  all of it and the services; `python -m stack` is its command
"""
