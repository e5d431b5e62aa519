"""The trainer that consumes a mix (`realign`)."""
