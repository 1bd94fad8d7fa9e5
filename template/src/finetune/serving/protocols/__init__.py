"""The conventions of existing clients, a file each: which paths there are, and how requests and answers look."""
