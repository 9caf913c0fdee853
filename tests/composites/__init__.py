"""Tests of lxt_like.composites."""
