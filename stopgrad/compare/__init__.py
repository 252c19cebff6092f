"""Several methods on one data set, all else equal: rows that are runs of their own, and the table of the SimSiam paper's Table 4."""
