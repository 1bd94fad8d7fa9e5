"""Search: an index of the vectors of a corpus, the documents that answer a query, and hard negatives."""
