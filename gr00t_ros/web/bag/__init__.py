"""A bag as a source of the operator page: what it shows at any time of it, and its clock."""
