"""Pictures of the documents, and the programs that draw them."""
