"""Slow float64 definitions of LRP, straight from the papers, sharing no code with the package.

Relevances are propagated explicitly in numpy (R_out -> R_in); there is no autograd here.
`linear`, `attention`, `norms`, `pooling`: one operation each, all returning a dict of relevances
whose values sum to the relevance that came in. `activations`: identity ratios in 50 digits.
`bert`, `gpt2`, `llama`: whole models from their weights.

Sources: Bach et al. 2015 (epsilon rule), Ali et al. 2022 (CP-LRP, norms), Achtibat et al. 2024
(AttnLRP, arXiv 2402.05602: softmax Prop. 3.1, uniform rule Prop. 3.3, norms Prop. 3.4).
"""
