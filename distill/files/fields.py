"""The fields of datasets and messages: name, axes, kind, whether they are required."""

from distill.files.properties import USUAL, message_fields

SPLITS = ("train", "validation", "test")  # the numbers 0, 1, 2 in a dataset's ``split``

# name: (axes, dtype kind, required); equal axis names must have equal sizes. Kinds: f float, g float with NaN where a
# particle is not there (see ``gaps``), i integer. A first axis in brackets may be missing.
DATASET_FIELDS = {
    "pos": (("trajectory", "frame", "particle", "dim"), "g", True),  # smoothed where there is ``observed``
    "vel": (("trajectory", "frame", "particle", "dim"), "g", False),
    "acc": (("trajectory", "frame", "particle", "dim"), "g", False),  # what the network learns; absent: windows are
    "target": (("trajectory", "frame", "particle"), "g", False),  # a number that is learnt in place of ``acc``
    "mass": (("trajectory", "particle"), "f", False),  # ones if absent
    "charge": (("trajectory", "particle"), "f", False),  # zeros if absent
    "t": (("(trajectory)", "frame"), "f", False),  # the number of the frame if absent
    "id": (
        ("trajectory", "particle"),
        "i",
        False,
    ),  # which body it is, in all trajectories
    "seen": (("trajectory", "frame", "particle"), "i", False),  # whether the particle was observed; absent: always
    "observed": (("trajectory", "frame", "particle", "dim"), "g", False),  # positions as they were seen, with noise
    "noise": ((), "f", False),  # standard deviation of a coordinate of ``observed``
    "window": ((), "i", False),  # frames K of a window
    "film": (("trajectory",), "i", False),  # the recording that it was cut from; absent: each is one of its own
    "split": (("trajectory",), "i", False),  # 0 train, 1 validation, 2 test; 80/10/10 if absent
    "energy_drift": (("trajectory",), "f", False),  # max |E(t) - E(0)| / energy scale
    "box": (("dim",), "f", False),  # side lengths of a periodic box; positions need not be wrapped into it
    "cutoff": ((), "f", False),  # of the pair force, at most half the shortest side; only with a box
}
# any other array of numbers like this is a further property of the particles, see ``properties``
PROPERTY = (("trajectory", "particle"), "f", True)


def ends_of(properties) -> dict:
    """What a messages file holds of these properties: values of the receiver and of the sender."""
    return {field: (("edge",), "f", True) for variable, field in message_fields(properties).items() if variable != "r"}


# i is the receiver, j the sender; every edge is one ordered pair in one frame of one trajectory
MESSAGE_FIELDS = {
    "message": (("edge", "component"), "f", True),
    "receiver": (("edge",), "i", True),  # particle index i
    "sender": (("edge",), "i", True),  # particle index j
    "trajectory": (("edge",), "i", True),  # index into the dataset
    "frame": (("edge",), "i", True),
    "dx": (("edge", "dim"), "f", True),  # x_i - x_j
    "r": (("edge",), "f", True),  # |dx|
    "vel_i": (("edge", "dim"), "f", True),
    "vel_j": (("edge", "dim"), "f", True),
    **ends_of(USUAL),
    "acc_i": (("edge", "dim"), "f", True),  # true acceleration of the receiver
    "acc_pred_i": (("edge", "dim"), "f", True),  # the network's
    "logvar": (("edge", "component"), "f", False),  # kl only; ``message`` then holds the means
    "acc_share": (("edge", "dim"), "f", False),  # models.GNN.acceleration_shares; adds up to acc_pred_i
    "acc_alone_i": (("edge", "dim"), "f", False),  # of a linear node: the network's for the receiver without messages
    # of networks of energies, whose message is the energy of an edge, half of that of its pair
    "energy_pair": (("edge",), "f", False),  # of the pair, less that at ``MessagesRecord.reference``
    "energy_self_i": (("edge",), "f", False),  # of the receiver alone, less that at the typical speed
    "active": (("component",), "i", True),  # 1 where pruning or relaxation kept the component
    "force": (("edge", "dim"), "f", False),  # true pair force on i, where the system is known
    # of windows (``distill.windows``), whose receiver has the pairs of several frames; ``frame`` is the middle one
    "weight": (("edge",), "f", False),  # of the pair in its receiver's acceleration; 1 if absent
    "at": (("edge",), "i", False),  # frame in which the pair was seen; ``frame`` if absent
    "between": (("edge",), "f", False),  # of the pair in what frames miss of that acceleration (windows.unresolved)
    "acc_noise": (("edge",), "f", False),  # standard deviation of a component of acc_i, where it is known
}

# of networks that learn a number of every particle, ``target``, these stand in place of the accelerations
OF_ACCELERATIONS = ("acc_i", "acc_pred_i", "acc_share", "acc_alone_i", "acc_noise")
TARGET_FIELDS = {name: field for name, field in MESSAGE_FIELDS.items() if name not in OF_ACCELERATIONS} | {
    "target_i": (("edge",), "f", True),  # that of the receiver
    "target_pred_i": (("edge",), "f", True),  # the network's
}
