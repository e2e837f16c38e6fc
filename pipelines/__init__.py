"""How it runs: one module a stage, thin Beam graphs and their command lines."""

import logging
import os

# One thread a process, here and in the workers that inherit this: processes share the cores, and sums must
# not depend on how many threads there are. Read by the libraries when numpy is first imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Beam warns at every import that it has no BigQuery client, which nothing here uses.
logging.getLogger("root").addFilter(lambda record: not record.getMessage().startswith("apitools not found"))
