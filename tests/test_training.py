"""A run hands out every row, watches what it should, and ends in the same bits however often it was killed."""

from __future__ import annotations

import contextlib
import csv
import gc
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchsuite.errors import ContractError, DivergedError
from benchsuite.kit import timing, training
from benchsuite.kit.adversarial import LOSSES
from benchsuite.kit.checkpoints import Checkpoint
from benchsuite.kit.nets import MLP, discriminator, frozen, generator
from benchsuite.kit.optimisers import RowAdam
from benchsuite.kit.samples import Samples
from benchsuite.kit.timing import Timings
from benchsuite.kit.training import Run

CPU = torch.device("cpu")
ROWS, BATCH_SIZE = 45, 8  # six batches an epoch, the last one smaller
TOTAL_BATCHES = 6 * (3 + 2 + 2 + 1)
WINDOW = 5


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Bits depend on the number of threads; curves get a row every few batches, so that kills fall between rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_WINDOW", WINDOW)
        yield
    torch.set_num_threads(threads)


def images(n: int = ROWS) -> Samples:
    data = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Samples(data, torch.arange(n) % 3)


def make_run(folder: Path | None = None, **options: Any) -> Run:
    """A run that saves after every batch, where it is given a folder."""
    if folder is not None:
        options = {"checkpoint": folder / "checkpoint.pt", "curve": folder / "curve.csv"} | options
    return Run(**{"seed": 0, "device": CPU, "checkpoint_seconds": 0.0} | options)


class KilledError(Exception):
    """Stands for what ends a process in the middle of a batch."""


def die_at(kill_at: int | None) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        if run.steps == kill_at:
            raise KilledError

    return check


def fit(run: Run, in_the_middle: Callable[[Run], object] = lambda run: None) -> dict[str, Any]:
    """A method from scratch: a GAN, codes learnt through its generator, an encoder as a stage, and one loop more.

    Returns all that it leaves behind: weights, moments, plain tensors and every random generator.
    """
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    data = images()
    net = run.prepare(generator((1, 8, 8), 4, 4))  # with batch norm
    critic = run.prepare(nn.Sequential(nn.Dropout(0.3), discriminator((1, 8, 8), 4)))
    net_adam = torch.optim.Adam(net.parameters(), lr=1e-2, fused=True)
    critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.5, 0.9))
    own, average = torch.Generator().manual_seed(1), torch.zeros(1, 8, 8)
    state = (net, critic, net_adam, critic_adam, own, average)
    for batch in run.batches(data, batch_size=BATCH_SIZE, epochs=3, state=state):
        run.decay(net_adam, final=0.1)
        z = (
            torch.randn(len(batch.x), 4)
            + torch.randn(1, 4, generator=own)
            + random.random()
            + np.random.standard_normal()
        )
        fake = net(z.float())
        loss = LOSSES["non_saturating"].discriminator(critic(batch.x * 2 - 1), critic(fake.detach()))
        run.step(critic_adam, loss, name="critic")
        in_the_middle(run)
        with frozen(critic):
            loss = LOSSES["non_saturating"].generator(critic(fake)).mean()
        run.step(net_adam, loss, name="net")
        average.lerp_(fake.detach().mean(0), 0.1)

    average.mul_(0.5)  # code between loops runs again, on what the loop left
    codes = torch.randn(ROWS, 4)  # from the generator as the loop left it
    row_adam, sgd = RowAdam(codes), torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for batch in run.batches(data, batch_size=BATCH_SIZE, epochs=2, state=(net, codes, row_adam, sgd)):
        z = codes[batch.index].requires_grad_()
        run.step(sgd, F.mse_loss(net(z), batch.x * 2 - 1), name="reconstruction")
        in_the_middle(run)
        assert z.grad is not None
        codes[batch.index] -= 0.1 * row_adam.direction(batch.index, z.grad)

    encoder, spread = MLP(64, 4, [8, 8]), torch.zeros(1)
    adam = torch.optim.Adam(encoder.parameters())

    def learn(epochs: int) -> None:
        for batch in run.batches(data, batch_size=BATCH_SIZE, epochs=epochs, state=(encoder, adam, spread)):
            x = F.dropout(batch.x.flatten(1), 0.2)
            run.step(adam, F.mse_loss(encoder(x), codes[batch.index]))
            in_the_middle(run)
            spread.add_(torch.rand(1))

    def reverse() -> None:
        learn(epochs=2)
        spread.mul_(torch.rand(1))

    run.stage("reverse", reverse, state=(encoder, adam, spread))
    spread.mul_(torch.rand(1))
    learn(epochs=1)
    run.close()
    left: dict[str, Any] = {"codes": codes, "average": average, "spread": spread, "own": own.get_state()}
    modules = {"net": net, "critic": critic, "encoder": encoder, "row_adam": row_adam}
    for name, module in modules.items():
        left |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimiser in {"net": net_adam, "critic": critic_adam, "sgd": sgd, "encoder": adam}.items():
        for index, moments in optimiser.state_dict()["state"].items():
            left |= {f"{name} optimiser {index}.{key}": value for key, value in moments.items()}
        left[f"{name} learning rate"] = optimiser.param_groups[0]["lr"]
    left |= {"torch": torch.get_rng_state(), "random": str(random.getstate()), "numpy": str(np.random.get_state())}
    return left | {"steps": run.steps, "fraction": run.fraction}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        same = torch.equal(found[name], value) if isinstance(value, Tensor) else found[name] == value
        assert same, name


Uninterrupted = tuple[dict[str, Any], bytes]


@pytest.fixture(scope="module")
def uninterrupted(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    """What ``fit`` leaves behind, and its learning curve, where nothing was saved and nothing happened."""
    curve = tmp_path_factory.mktemp("uninterrupted") / "curve.csv"
    return fit(make_run(curve=curve)), curve.read_bytes()


def test_the_loop_that_is_killed_below_does_what_it_should(uninterrupted: Uninterrupted) -> None:
    left, curve = uninterrupted
    assert left["steps"] == TOTAL_BATCHES
    assert len(curve.splitlines()) > TOTAL_BATCHES / WINDOW
    assert all(bool(v.isfinite().all()) for v in left.values() if isinstance(v, Tensor) and v.is_floating_point())


def test_saving_changes_nothing(uninterrupted: Uninterrupted, tmp_path: Path) -> None:
    left, curve = uninterrupted
    assert_same(fit(make_run(tmp_path)), left)
    assert (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "curve.csv").read_bytes() == curve


# The first batches, both sides of every end of an epoch, loop and stage, and some in between.
@pytest.mark.parametrize("kill_at", [0, 1, 5, 6, 13, 17, 18, 23, 29, 30, 41, 42, 47])
def test_a_run_that_was_killed_ends_in_the_same_bits(
    uninterrupted: Uninterrupted, tmp_path: Path, kill_at: int
) -> None:
    left, curve = uninterrupted
    with pytest.raises(KilledError):
        fit(make_run(tmp_path), die_at(kill_at))
    resumed = make_run(tmp_path)
    assert resumed.resumed_at == kill_at
    assert_same(fit(resumed), left)
    assert (tmp_path / "curve.csv").read_bytes() == curve


@pytest.mark.parametrize("every", [3, 11])
def test_a_run_that_was_killed_again_and_again_ends_in_the_same_bits(
    uninterrupted: Uninterrupted, tmp_path: Path, every: int
) -> None:
    left, curve = uninterrupted
    for kill_at in range(every, TOTAL_BATCHES, every):
        with pytest.raises(KilledError):
            fit(make_run(tmp_path), die_at(kill_at))
    assert_same(fit(make_run(tmp_path)), left)
    assert (tmp_path / "curve.csv").read_bytes() == curve


@pytest.mark.parametrize("kill_at", [9, 20, 28, 45])
def test_batches_since_the_last_checkpoint_are_done_again(
    uninterrupted: Uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    left, curve = uninterrupted
    clock = Clock()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=clock))

    def middle(run: Run) -> None:
        clock.now += 1
        die_at(kill_at)(run)

    with pytest.raises(KilledError):
        fit(make_run(tmp_path, checkpoint_seconds=7.0), middle)
    resumed = make_run(tmp_path, checkpoint_seconds=7.0)
    assert kill_at - 7 <= resumed.resumed_at <= kill_at
    assert_same(fit(resumed), left)
    assert (tmp_path / "curve.csv").read_bytes() == curve


KILL_9 = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch, torch._dynamo  # what optimisers import when they are first used
torch.set_num_threads(1)
import test_training
from benchsuite.kit import training
training._WINDOW = test_training.WINDOW
folder = Path(sys.argv[2])
for batches in map(int, sys.argv[3:]):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        test_training.fit(test_training.make_run(folder), lambda run: os.write(writer, b"."))
        os._exit(0)
    for _ in range(batches):
        os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
run = test_training.make_run(folder)
print(run.resumed_at)
torch.save(test_training.fit(run), folder / "left.pt")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, so that torch is imported once")
def test_a_process_that_was_killed_by_signal_9_ends_in_the_same_bits(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    left, curve = uninterrupted
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILL_9, tests, str(tmp_path), "4", "12", "9", "14"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert 20 < int(done.stdout) < TOTAL_BATCHES
    assert_same(torch.load(tmp_path / "left.pt", weights_only=True), left)
    assert (tmp_path / "curve.csv").read_bytes() == curve


def kill_and_damage(folder: Path, damage: Callable[[Path], object]) -> Run:
    with pytest.raises(KilledError):
        fit(make_run(folder), die_at(20))
    damage(folder / "checkpoint.pt")
    return make_run(folder)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "no checkpoint": lambda path: path.write_bytes(b"not a checkpoint"),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without its beginning": lambda path: path.write_bytes(path.read_bytes()[100:]),
    "another format": lambda path: torch.save({"format": -1, "steps": 5}, path),
    "another thing": lambda path: torch.save([1, 2], path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "untrusted": lambda path: torch.save(KilledError, path),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_starts_anew(uninterrupted: Uninterrupted, tmp_path: Path, damage: str) -> None:
    left, curve = uninterrupted
    run = kill_and_damage(tmp_path, DAMAGES[damage])
    assert (run.steps, run.resumed_at) == (0, 0)
    if damage == "cut in half":  # once is enough
        assert_same(fit(run), left)
        assert (tmp_path / "curve.csv").read_bytes() == curve


def test_a_checkpoint_with_changed_bytes_is_read_or_not_but_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    run = make_run(tmp_path)
    for _ in loop(run, epochs=1):
        pass
    whole, positions = bytearray(path.read_bytes()), random.Random(0)
    for _ in range(300):
        damaged = whole.copy()
        for _ in range(3):
            damaged[positions.randrange(len(whole))] = positions.randrange(256)
        path.write_bytes(damaged)
        assert Checkpoint.open(path).steps >= 0


def test_another_number_of_objects_in_state_is_a_clear_error(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    run = make_run(tmp_path)
    batches = run.batches(images(), batch_size=8, epochs=1, state=(net, torch.zeros(1)))
    for _ in zip(range(3), batches, strict=False):
        pass
    with pytest.raises(ContractError) as raised:
        next(make_run(tmp_path).batches(images(), batch_size=8, epochs=1, state=(net,)))
    assert str(raised.value) == (
        "this loop has 1 objects in state=, its checkpoint 2; run again with --force to start from the beginning"
    )


def loop(run: Run, epochs: int = 1, n: int = 24, batch_size: int = 8) -> Iterator[training.Batch]:
    """A loop that trains nothing, but has state."""
    return run.batches(images(n), batch_size=batch_size, epochs=epochs, state=(torch.zeros(1),))


def curve_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that runs look at."""
    clock = Clock()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=clock))
    return clock


# Handing out rows


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 3), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_epoch_is_a_permutation_of_all_rows(n: int, batch_size: int, epochs: int, seed: int) -> None:
    data = Samples(torch.arange(n, dtype=torch.float32)[:, None], torch.arange(n))
    batches = list(make_run(seed=seed).batches(data, batch_size=batch_size, epochs=epochs))
    per_epoch = len(batches) // epochs
    for epoch in range(epochs):
        part = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(torch.cat([b.index for b in part]).tolist()) == list(range(n))
    for batch in batches:
        assert batch.x.flatten().tolist() == batch.index.tolist()
        assert batch.labels is not None
        assert torch.equal(batch.labels, batch.index)


@given(st.integers(1, 60), st.integers(2, 20))
@settings(max_examples=60, deadline=None)
def test_batches_are_full_but_for_the_last_and_none_is_a_lone_row(n: int, batch_size: int) -> None:
    sizes = [len(b.x) for b in make_run().batches(images(n), batch_size=batch_size, epochs=1)]
    assert sum(sizes) == n
    assert set(sizes[:-1]) <= {batch_size}
    assert 2 <= sizes[-1] <= batch_size + 1 or n == 1
    assert sizes[-1] == batch_size + 1 if n % batch_size == 1 and n > 1 else True


@pytest.mark.parametrize(("n", "sizes"), [(17, [8, 9]), (18, [8, 8, 2]), (9, [9]), (1, [1]), (16, [8, 8]), (7, [7])])
def test_the_lone_row_left_over_joins_the_batch_before(n: int, sizes: list[int]) -> None:
    assert [len(b.x) for b in make_run().batches(images(n), batch_size=8, epochs=1)] == sizes


def orders(seed: int, loops: int = 2) -> list[list[int]]:
    run = make_run(seed=seed)
    return [b.index.tolist() for _ in range(loops) for b in run.batches(images(), batch_size=ROWS, epochs=2)]


def test_the_order_follows_from_the_seed_and_differs_by_epoch_and_loop() -> None:
    assert orders(0) == orders(0)
    different = [*orders(0), *orders(1)]
    assert len({tuple(order) for order in different}) == 8


def test_shuffling_draws_from_no_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    random.seed(5)
    np.random.seed(5)
    state = str((random.getstate(), np.random.get_state()))
    assert len(list(loop(make_run(), epochs=2))) == 6
    assert torch.equal(torch.get_rng_state(), before)
    assert str((random.getstate(), np.random.get_state())) == state


def test_a_first_row_comes_first_about_as_often_as_any_other() -> None:
    # Seeds 0 to 599, 5 rows: a fair shuffle has p < 1e-4 in one of 10,000 choices of seeds; these are fixed.
    first = [int(next(make_run(seed=s).batches(images(5), batch_size=5, epochs=1)).index[0]) for s in range(600)]
    counts = np.bincount(first, minlength=5)
    assert ((counts - 120) ** 2 / 120).sum() < 23.5  # the 1 - 1e-4 quantile of chi-squared with 4 degrees of freedom


def test_batches_are_on_the_device_of_the_run() -> None:
    batch = next(make_run(device=torch.device("meta")).batches(images(), batch_size=8, epochs=1))
    assert batch.labels is not None
    assert {batch.x.device.type, batch.index.device.type, batch.labels.device.type} == {"meta"}


def test_data_without_labels_give_batches_without() -> None:
    assert next(make_run().batches(Samples(torch.zeros(4, 2)), batch_size=2, epochs=1)).labels is None


def test_no_epochs_are_no_batches() -> None:
    assert list(loop(make_run(), epochs=0)) == []


# Steps, learning rates, precision


def test_a_step_is_zero_grad_backward_and_step() -> None:
    nets = [nn.Linear(3, 1), nn.Linear(3, 1)]
    nets[1].load_state_dict(nets[0].state_dict())
    ours, theirs = (torch.optim.Adam(net.parameters(), lr=0.1) for net in nets)
    run = make_run()
    for x in torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)):
        run.step(ours, nets[0](x).square().mean())
        theirs.zero_grad()
        nets[1](x).square().mean().backward()
        theirs.step()
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_the_learning_rate_falls_on_a_line_from_its_first_value_to_the_final_one() -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimiser = torch.optim.SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 0.1}])
    run, rates = make_run(), []
    for _ in loop(run, epochs=4):
        run.decay(optimiser, final=0.2)
        rates.append([group["lr"] for group in optimiser.param_groups])
    line = np.linspace(1, 0.2, 12, endpoint=False)
    assert np.allclose(rates, np.stack([line, line / 10], 1))


def test_the_fraction_goes_from_nought_to_one_in_every_loop() -> None:
    run = make_run()
    for _ in range(2):
        assert [run.fraction for _ in loop(run, epochs=2)] == pytest.approx([i / 6 for i in range(6)])
        assert run.fraction == 1


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_precision_is_that_of_the_forward_pass(precision: str, dtype: torch.dtype) -> None:
    with make_run(precision=precision).autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype


def test_a_prepared_net_trains_on_the_device_of_the_run() -> None:
    net = make_run(device=torch.device("meta")).prepare(nn.Sequential(nn.Conv2d(2, 2, 3)).eval())
    assert net.training
    assert next(net.parameters()).device.type == "meta"


# Divergence, budget, progress, learning curves


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("batch", [0, 7, 29])
def test_a_loss_that_is_no_number_ends_the_run_within_a_window(value: float, batch: int) -> None:
    run, weight = make_run(), nn.Parameter(torch.ones(1))
    sgd = torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(DivergedError, match=f"generator became {value}"):
        for number, _ in enumerate(loop(run, epochs=10)):
            run.step(sgd, weight.sum() * 0 + (value if number == batch else 1.0), name="generator")
    assert run.steps <= batch + WINDOW


def test_a_number_logged_outside_any_loop_is_looked_at_too() -> None:
    run = make_run()
    run.log("residual", torch.tensor(math.nan))
    with pytest.raises(DivergedError, match="residual became nan"):
        run.close()


def test_a_diverged_state_is_never_saved(tmp_path: Path) -> None:
    weight = torch.zeros(1)
    with pytest.raises(DivergedError):
        run = make_run(tmp_path)
        for number, _ in enumerate(run.batches(images(), batch_size=8, epochs=1, state=(weight,))):
            weight.fill_(math.nan if number == 3 else number)
            run.log("weight", weight)
    next(make_run(tmp_path).batches(images(), batch_size=8, epochs=1, state=(weight,)))
    assert weight.tolist() == [2]


def test_the_budget_stops_the_loop_under_way_and_those_after_it(clock: Clock) -> None:
    run, done = make_run(budget=10.0), []
    for epochs in (2, 2, 2):  # six batches each
        done.append(0)
        for _ in loop(run, epochs=epochs):
            clock.now += 1
            done[-1] += 1
    assert done == [6, 4, 0]
    assert run.stopped_early


def test_a_budget_counts_the_batches_of_many_short_loops(clock: Clock) -> None:
    run = make_run(budget=10.0)
    for _ in range(20):
        for _ in loop(run, n=8):  # one batch
            clock.now += 1
    assert run.steps == 10


def test_a_budget_counts_what_was_spent_before_a_kill(tmp_path: Path, clock: Clock) -> None:
    def train(run: Run, kill_at: int | None) -> None:
        for _ in loop(run, epochs=9):
            clock.now += 1
            die_at(kill_at)(run)

    with pytest.raises(KilledError):
        train(make_run(tmp_path, budget=10.0), kill_at=6)
    clock.now += 1000  # while nobody trained
    run = make_run(tmp_path, budget=10.0)
    train(run, kill_at=None)
    assert run.steps == 10
    assert run.stopped_early


def test_that_the_budget_stopped_it_is_known_after_a_kill_too(tmp_path: Path, clock: Clock) -> None:
    def train(run: Run) -> Run:
        def work() -> None:
            for _ in loop(run, epochs=9):
                clock.now += 1

        run.stage("train", work, state=(torch.zeros(1),))
        return run

    assert train(make_run(tmp_path, budget=3.0)).stopped_early
    assert train(make_run(tmp_path, budget=3.0)).stopped_early  # as after a kill in what follows


def test_without_a_budget_nothing_stops(clock: Clock) -> None:
    run = make_run()
    for _ in loop(run):
        clock.now += 1e9
    assert not run.stopped_early


def test_progress_rises_and_is_told_now_and_then(clock: Clock) -> None:
    told: list[tuple[float, str]] = []
    run = make_run(on_progress=lambda fraction, text: told.append((fraction, text)))
    for _ in loop(run, epochs=4):
        clock.now += 0.2
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert 3 <= len(told) <= 5  # every half second of 2.4
    assert told[-1][1].endswith("epoch 4/4")


def test_the_curve_holds_the_mean_loss_of_each_window(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for number, _ in enumerate(loop(run, epochs=4)):
        run.log("loss", torch.tensor(float(number)))
    rows = curve_rows(tmp_path / "curve.csv")
    assert [(row["step"], row["value"]) for row in rows] == [("5", "2"), ("10", "7"), ("12", "10.5")]
    assert {row["name"] for row in rows} == {"loss"}


def test_a_logged_number_is_that_of_its_moment(tmp_path: Path) -> None:
    run, temperature = make_run(tmp_path), torch.zeros(())
    for _ in loop(run, epochs=4):
        run.log("temperature", temperature)
        temperature += 1  # in place
    rows = curve_rows(tmp_path / "curve.csv")
    assert [(row["step"], row["value"]) for row in rows] == [("5", "2"), ("10", "7"), ("12", "10.5")]


def test_every_row_of_the_curve_names_its_epoch(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for _ in loop(run, epochs=4):  # three batches an epoch, a row every five
        run.log("loss", torch.tensor(1.0))
    assert [row["epoch"] for row in curve_rows(tmp_path / "curve.csv")] == ["1", "3", "3"]


# Checkpoints and stages


def test_checkpoints_are_as_far_apart_as_was_asked(tmp_path: Path, clock: Clock) -> None:
    run, path = make_run(tmp_path, checkpoint_seconds=2.0), tmp_path / "checkpoint.pt"
    saved = []
    for _ in loop(run, epochs=3):
        clock.now += 1
        saved.append(torch.load(path, weights_only=True)["steps"] if path.exists() else 0)
    assert saved == [0, 0, 2, 2, 4, 4, 6, 6, 8]


def test_a_loop_without_state_saves_nothing(tmp_path: Path) -> None:
    assert len(list(make_run(tmp_path).batches(images(), batch_size=8, epochs=1))) == 6
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_holds_what_was_true_between_batches(tmp_path: Path) -> None:
    weight = torch.zeros(1)
    batches = make_run(tmp_path).batches(images(), batch_size=8, epochs=1, state=(weight,))
    for _ in range(3):
        next(batches)
        weight += 1
    next(batches)
    weight += 0.5  # in the middle of the fourth
    batches.close()  # type: ignore[attr-defined]
    resumed = torch.zeros(1)
    rest = make_run(tmp_path).batches(images(), batch_size=8, epochs=1, state=(resumed,))
    next(rest)
    assert resumed.tolist() == [3]
    assert len(list(rest)) == 2


@pytest.mark.parametrize("how", ["without state", "broken off"])
def test_a_loop_that_runs_again_after_a_kill_counts_once(tmp_path: Path, how: str) -> None:
    def train(folder: Path, kill_at: int | None) -> int:
        run = make_run(folder)
        total = torch.zeros(1)
        for number, _ in enumerate(
            run.batches(images(), batch_size=8, epochs=1, state=(total,) if how == "broken off" else ())
        ):
            run.log("first", torch.tensor(1.0))
            if how == "broken off" and number == 4:
                break
        for _ in run.batches(images(), batch_size=8, epochs=1, state=(total,)):
            total += 1
            run.log("second", total.clone())
            die_at(kill_at)(run)
        run.close()
        return run.steps

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = train(tmp_path / "a", kill_at=None)
    with pytest.raises(KilledError):
        train(tmp_path / "b", kill_at=9)
    assert train(tmp_path / "b", kill_at=None) == expected
    assert (tmp_path / "b" / "curve.csv").read_bytes() == (tmp_path / "a" / "curve.csv").read_bytes()


def test_a_finished_loop_leaves_the_same_fraction_when_it_is_skipped(tmp_path: Path) -> None:
    def train(run: Run, kill_at: int | None) -> float:
        assert len(list(loop(run))) in (0, 3)
        between = run.fraction
        for _ in loop(run):
            die_at(kill_at)(run)
        return between

    with pytest.raises(KilledError):
        train(make_run(tmp_path), kill_at=5)
    assert train(make_run(tmp_path), kill_at=None) == 1


def test_a_finished_stage_is_not_done_again_and_its_state_comes_back(tmp_path: Path) -> None:
    def train(run: Run) -> tuple[list[str], float]:
        done, weight = [], torch.zeros(1)

        def work() -> None:
            done.append("work")
            weight.add_(torch.rand(1))

        torch.manual_seed(0)
        run.stage("first", work, state=(weight,))
        done.append("between")
        weight.add_(torch.rand(1))
        run.stage("second", work, state=(weight,))
        return done, float(weight)

    done, weight = train(make_run(tmp_path))
    assert done == ["work", "between", "work"]
    assert train(make_run(tmp_path)) == (["between"], weight)
    assert train(make_run()) == (done, weight)


def test_a_stage_that_failed_is_done_again(tmp_path: Path) -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KilledError

    with pytest.raises(KilledError):
        make_run(tmp_path).stage("reverse", work, state=(torch.zeros(1),))
    make_run(tmp_path).stage("reverse", work, state=(torch.zeros(1),))
    assert len(calls) == 2


def test_two_stages_of_one_name_go_the_same_way_with_checkpoints_and_without(tmp_path: Path) -> None:
    def train(run: Run) -> str:
        weight = torch.zeros(1)
        try:
            for _ in range(3):
                run.stage("reverse", lambda: weight.add_(1), state=(weight,))
        except Exception as error:  # to refuse the name is as good an answer
            return str(error)
        return str(weight)

    assert train(make_run(tmp_path)) == train(make_run())


def test_a_stage_without_state_keeps_what_its_loops_finished(tmp_path: Path) -> None:
    def train(run: Run, kill_at: int | None) -> int:
        batches = []

        def work() -> None:
            for _ in loop(run):
                batches.append(1)

        run.stage("inner", work)
        for _ in loop(run):
            batches.append(1)
            die_at(kill_at)(run)
        return len(batches)

    with pytest.raises(KilledError):
        train(make_run(tmp_path), kill_at=4)
    assert train(make_run(tmp_path), kill_at=None) == 2


def test_a_finished_stage_keeps_one_state_however_many_loops_it_had(tmp_path: Path) -> None:
    run, weight = make_run(tmp_path), torch.zeros(10_000)

    def work() -> None:
        for _ in range(20):
            for _ in run.batches(images(), batch_size=ROWS, epochs=1, state=(weight,)):
                pass

    run.stage("reverse", work, state=(weight,))
    assert (tmp_path / "checkpoint.pt").stat().st_size < 3 * 4 * len(weight)


def test_what_a_stage_logs_is_under_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    def inner() -> None:
        run.log("loss", torch.tensor(2.0))

    def outer() -> None:
        run.log("loss", torch.tensor(1.0))
        for _ in loop(run):
            pass
        run.stage("inner", inner)
        run.log("loss", torch.tensor(3.0))

    run.stage("outer", outer)
    run.log("loss", torch.tensor(4.0))
    run.close()
    rows = [(row["stage"], row["value"]) for row in curve_rows(tmp_path / "curve.csv")]
    assert rows == [("outer", "1"), ("inner", "2"), ("outer", "3"), ("", "4")]


def test_a_stage_is_timed_under_its_name() -> None:
    timings = Timings(CPU)
    make_run(timings=timings).stage("reverse", lambda: None)
    assert [phase.name for phase in timings.phases] == ["fit.reverse"]


# The rate of training


def rows_timed(timings: Timings) -> list[tuple[str, int]]:
    """The loops that have a rate, with the rows that it is of; every phase that is there is one of training."""
    return [(phase.name, phase.items) for phase in timings.phases]


def test_rows_after_the_first_batches_are_timed_to_the_last_one() -> None:
    timings = Timings(CPU)
    for _ in make_run(timings=timings).batches(images(45), batch_size=8, epochs=2):  # 8 8 8 8 8 5, twice
        pass
    assert rows_timed(timings) == [("train", 2 * 45 - 3 * 8)]


@pytest.mark.parametrize(("n", "epochs", "expected"), [(24, 1, []), (8, 1, []), (24, 0, []), (26, 1, [("train", 2)])])
def test_a_loop_of_warm_up_alone_has_no_rate(n: int, epochs: int, expected: list[tuple[str, int]]) -> None:
    timings = Timings(CPU)
    for _ in loop(make_run(timings=timings), epochs=epochs, n=n):
        pass
    assert rows_timed(timings) == expected


def test_each_loop_warms_up_by_itself_and_is_named_by_its_stage() -> None:
    timings = Timings(CPU)
    run = make_run(timings=timings)

    def work() -> None:
        for epochs in (2, 3):
            for _ in loop(run, epochs=epochs):
                pass

    for _ in loop(run, epochs=2):
        pass
    run.stage("reverse", work)
    found = [phase for phase in rows_timed(timings) if phase[0] != "fit.reverse"]
    assert found == [("train", 3 * 8), ("train.reverse", 3 * 8), ("train.reverse", 6 * 8)]


def test_what_the_caller_does_between_batches_counts_and_the_warm_up_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock, process_time=clock))
    timings = Timings(CPU)
    for number, _ in enumerate(loop(make_run(timings=timings), epochs=2)):
        clock.now += 100 if number < 3 else 2
    (phase,) = timings.phases
    assert (phase.seconds, phase.cpu_seconds, phase.items) == (3 * 2, 3 * 2, 3 * 8)


def test_a_budget_times_the_batches_that_it_left(clock: Clock) -> None:
    timings = Timings(CPU)
    run = make_run(budget=10.0, timings=timings)
    for _ in range(2):
        for _ in loop(run, epochs=9):
            clock.now += 1
    assert rows_timed(timings) == [("train", 7 * 8)]


def test_after_a_kill_the_rows_since_are_timed(tmp_path: Path) -> None:
    def train(run: Run, kill_at: int | None) -> None:
        for epochs in (2, 3):
            for _ in loop(run, epochs=epochs):
                die_at(kill_at)(run)

    killed, resumed = Timings(CPU), Timings(CPU)
    with pytest.raises(KilledError):
        train(make_run(tmp_path, timings=killed), kill_at=8)  # in the third batch of the second loop
    train(make_run(tmp_path, timings=resumed), kill_at=None)
    assert rows_timed(killed) == [("train", 3 * 8)]
    assert rows_timed(resumed) == [("train", (9 - 2 - 3) * 8)]


@pytest.mark.parametrize("how", ["raise", "break"])
def test_a_loop_that_is_left_has_no_rate_and_hurts_no_phase(how: str) -> None:
    timings = Timings(CPU)
    run = make_run(timings=timings)
    with contextlib.suppress(KilledError), timings.phase("fit"):
        for number, _ in enumerate(loop(run, epochs=5)):
            if number == 7 and how == "raise":
                raise KilledError
            if number == 7:
                break
    gc.collect()
    assert [phase.name for phase in timings.phases] == ["fit"]
