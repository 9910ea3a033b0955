"""The alphabets of TS 23.038 as data."""
