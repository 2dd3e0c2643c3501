# made by python -m tests.compat.optax_names --write

