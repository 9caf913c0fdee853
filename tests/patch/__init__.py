"""Tests of lxt_like.patch."""
