"""The proof that recorded data is right: record, convert, validate, train, evaluate, deploy."""
