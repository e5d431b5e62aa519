"""The trainer that consumes a mix (`realign`)."""

import logging

# It warns of every layer at every call that int8 products are made in float16, and of kernels that it lacks.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
