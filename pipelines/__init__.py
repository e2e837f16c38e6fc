"""How it runs: one module a stage, thin Beam graphs and their command lines."""

import logging

# Beam warns at every import that it has no BigQuery client, which nothing here uses.
logging.getLogger("root").addFilter(lambda record: not record.getMessage().startswith("apitools not found"))
