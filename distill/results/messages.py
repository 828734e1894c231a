"""What every edge of a network sends."""

from functools import cached_property

import numpy as np

from distill.files import records
from distill.files.kinds import MessagesRecord
from distill.files.messages import load_messages
from distill.files.names import messages_path, run_dir, run_name_of
from distill.results.base import Result
from distill.shell.errors import UserError
from distill.shell.stage import name_of


class MessagesResult(Result):
    """The messages of a run on frames of one split, with what they are compared with."""

    KIND = "messages"

    @classmethod
    def load(cls, run: str, split: str = "test") -> "MessagesResult":
        """Those of ``run`` on a ``split`` ("train", "validation", "test", "all") that were extracted before."""
        run = run_name_of(name_of(run))
        run_dir(run)  # tells of a name that is nearly right
        path = messages_path(run, split)
        record = records.load(MessagesRecord, path.with_suffix(".json"))
        return cls(record.stage, f"{run} {split}", path, record.seconds)

    @property
    def name(self) -> str:
        """The run's."""
        return self.record.run

    @cached_property
    def record(self) -> MessagesRecord:
        """outputs/<run>/messages_<split>.json."""
        return records.load(MessagesRecord, self.path.with_suffix(".json"))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as docs/formats.md lists them: ``message`` [edge, component], ``dx`` = x_i - x_j [edge, dim], ``r``,
        ``mass_i``, ``mass_j`` [edge], ``acc_i`` and ``acc_pred_i``, the receiver's true and predicted acceleration, and
        where the system is known ``force``, the true pair force [edge, dim] ...
        """
        return load_messages(self.path, self.record.run, target=self.record.target)[0]

    @property
    def message(self) -> np.ndarray:
        """[edge, component]."""
        return self.arrays["message"]

    @property
    def split(self) -> str:
        return self.record.split

    @property
    def graphs(self) -> int:
        """Frames."""
        return self.record.graphs

    @property
    def edges(self) -> int:
        """Ordered pairs over all frames."""
        return self.record.edges

    @property
    def components(self) -> int:
        return self.message.shape[1]

    @property
    def mae(self) -> float:
        """Mean absolute error of the network's acceleration components on these frames."""
        return self.record.mae

    @cached_property
    def importance(self) -> np.ndarray:
        """Standard deviation of each component, of sampled messages their mean KL [component]."""
        from distill.messages.read_out import importance  # scipy and SymPy take a second

        return importance(self.arrays)

    @property
    def top_components(self) -> np.ndarray:
        """As many as forces have components, the most important first."""
        from distill.messages.read_out import top_components  # scipy and SymPy take a second

        return top_components(self.importance, self.arrays["dx"].shape[1])

    def read_force(self, seed: int = 0) -> np.ndarray:
        """The pair force on the receiver of every edge [edge, dim] as it is read from the messages: the linear mixture
        of all components, or what the network makes of them, whose sums are the net forces that it predicts on the
        training split. No true force is used. ``UserError`` for messages of a network that predicts something else.
        """
        if self.record.target:
            found = f"the messages of {self.name} are of a network of a number of every particle, not of accelerations"
            raise UserError(found, "sums over neighbours are read by distill.halos:  docs/halos.md")
        from distill.law.message_scores import read_force  # scipy and SymPy take a second

        train = self if self.split == "train" else MessagesResult.load(self.name, "train")
        return read_force(self.name, self.arrays, (train.arrays, train.record), seed)

    @property
    def quick(self) -> bool:
        return self.record.quick

    def facts(self):
        record = self.record
        out = {"Network": f"variant {record.variant}, recipe {record.recipe}", "Split": record.split}
        out["Edges"] = f"{record.edges:,} of {record.graphs:,} frames"
        out["Components"] = f"{self.components}, most important: {', '.join(map(str, self.top_components))}"
        out["Error of the network"] = f"{record.mae:.4g} (mean absolute, of a component of the acceleration)"
        return out | {"Arrays": ", ".join(f"{name} {list(array.shape)}" for name, array in self.arrays.items())}

    def brief(self):
        return f"{self.split} split, {self.edges:,} edges of {self.graphs:,} frames"

    def plot(self):
        """Importance of every component."""
        from distill.messages.read_out import importance_of  # scipy and SymPy take a second
        from distill.report import plots

        return plots.importance_bars(**importance_of(self.arrays), title=self.subject)
