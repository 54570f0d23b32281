"""The promises of `shared/http`, through the public door, against real PostgreSQL and Kafka."""
