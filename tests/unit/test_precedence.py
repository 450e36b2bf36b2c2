"""Changes go before questions, in the event loop and in the applier; and questions are not forgotten."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from pvenetd.api.shared import Shared
from pvenetd.daemon.slices import in_slices
from pvenetd.precedence import _IN_A_ROW, ASKING, Precedence, Turns


async def test_questions_wait_while_a_change_has_precedence() -> None:
    precedence, done = Precedence(), list[str]()

    async def question() -> None:
        with precedence.asking():
            await precedence.through()
            done.append("question")

    end = precedence.begin(60)
    asked = asyncio.create_task(question())
    for _ in range(5):
        await asyncio.sleep(0)
    done.append("change")
    end()
    await asked
    assert done == ["change", "question"]


async def test_precedence_ends_by_itself() -> None:
    precedence = Precedence()
    over = asyncio.Event()
    end = precedence.begin(0.001, over.set)
    await over.wait()
    end()
    await precedence.through()


async def test_a_question_is_patient_for_so_long() -> None:
    precedence = Precedence()
    with precedence.asking():
        precedence.begin(60)
        await precedence.aside(0.001)


async def test_questions_leave_one_at_a_time() -> None:
    precedence, let = Precedence(), list[int]()

    async def question(number: int) -> None:
        await precedence.through()
        let.append(number)

    everybody = [asyncio.create_task(question(number)) for number in range(10)]
    everybody[3].cancel()
    most = before = 0
    while not all(one.done() for one in everybody):
        await asyncio.sleep(0)
        most, before = max(most, len(let) - before), len(let)
    assert (let, most) == ([0, 1, 2, 4, 5, 6, 7, 8, 9], 1)


async def test_what_a_question_does_in_slices_steps_aside() -> None:
    precedence, seen = Precedence(), list[int]()

    async def question() -> None:
        with precedence.asking():
            seen.extend([number async for number in in_slices(range(100_000))])

    with precedence.first():
        asked = asyncio.create_task(question())
        for _ in range(50):
            await asyncio.sleep(0)
        assert not seen
    await asked
    assert len(seen) == 100_000


def test_the_applier_does_changes_first_and_a_question_now_and_then() -> None:
    turns, begun, done = Turns("turns"), threading.Event(), list[str]()
    precedence = Precedence()
    turns.submit(begun.wait)
    with precedence.asking():
        answers: list[Future[None]] = [turns.submit(done.append, "question") for _ in range(2)]
    assert ASKING.get() is None
    answers += [turns.submit(done.append, "change") for _ in range(_IN_A_ROW + 1)]
    begun.set()
    for one in answers:
        one.result()
    turns.shutdown()
    assert done == [*["change"] * (_IN_A_ROW - 1), "question", "change", "change", "question"]


def test_a_job_that_fails_is_told_and_the_next_is_done() -> None:
    turns = Turns("turns")
    failed, done = turns.submit(lambda: 1 // 0), turns.submit(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        failed.result()
    assert done.result() == 1
    turns.shutdown()


async def test_who_asks_while_an_answer_is_made_is_given_the_next() -> None:
    shared: Shared[int] = Shared()
    begun, go = 0, asyncio.Event()

    async def make() -> int:
        nonlocal begun
        begun += 1
        number = begun
        await go.wait()
        return number

    first = asyncio.create_task(shared.answer("ports", make))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(shared.answer("ports", make)) for _ in range(3)]
    another = asyncio.create_task(shared.answer("network", make))
    await asyncio.sleep(0)
    others[0].cancel()
    await asyncio.sleep(0)
    go.set()
    assert (await first, await others[1], await others[2]) == (1, 3, 3)
    assert await another == 2
    assert begun == 3


async def test_all_who_asked_are_told_what_went_wrong_and_the_next_is_tried_anew() -> None:
    shared: Shared[int] = Shared()

    async def fails() -> int:
        raise KeyError("ports")

    async def works() -> int:
        return 1

    told = await asyncio.gather(*(shared.answer("ports", fails) for _ in range(2)), return_exceptions=True)
    assert [type(one) for one in told] == [KeyError, KeyError]
    assert await shared.answer("ports", works) == 1


async def test_there_is_a_rest_where_many_ask_and_none_where_one_does() -> None:
    precedence, long_ago = Precedence(), asyncio.get_running_loop().time() - 60
    alone = asyncio.create_task(precedence.rest(long_ago))
    await asyncio.sleep(0)
    assert alone.done()
    end = precedence.begin(60)
    other = asyncio.create_task(precedence.through())
    await asyncio.sleep(0)
    crowded = asyncio.create_task(precedence.rest(long_ago))
    await asyncio.sleep(0)
    assert not crowded.done()
    end()
    await asyncio.gather(other, crowded)
