"""How much worse a model has become: on a text, layer by layer, and tensor by tensor."""
