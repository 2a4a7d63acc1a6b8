"""Okabe and Ito's colours without black: told apart with any colour vision."""

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = PALETTE
