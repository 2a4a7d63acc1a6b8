"""Networks: PermaKey, Transporter, and the agent's encoders and Q network."""
