"""A trained network of overdensities on catalogues of haloes, in bounded memory."""

import numpy as np
import torch

from distill.halos.catalogue import Catalogue
from distill.network.data import Inputs
from distill.network.edges import edges_for
from distill.network.evaluation import told_in_parts


@torch.no_grad()
def network_delta(model, catalogue: Catalogue, cutoff: float) -> np.ndarray:
    """Overdensities [halo] that the network predicts."""
    inputs, parameter = Inputs.of(model.config), next(model.parameters())
    properties = {"mass": catalogue.mass[None], "charge": np.zeros((1, len(catalogue)))}
    x = inputs.features(catalogue.pos[None], catalogue.vel[None], properties, model.config.properties)
    nodes = torch.as_tensor(x).to(parameter).flatten(0, 1)
    source = edges_for(catalogue.pos[None], box=np.full(3, catalogue.side), cutoff=cutoff, device=parameter.device)
    found = told_in_parts(model, nodes, source([0]))["acc_pred"]
    return inputs.scales.output * found[:, 0].double().cpu().numpy()
