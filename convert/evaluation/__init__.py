"""Bundles on labelled scenes -> scores, tables, plots."""
