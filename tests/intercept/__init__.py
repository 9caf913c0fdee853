"""Tests of lxt_like.intercept."""
