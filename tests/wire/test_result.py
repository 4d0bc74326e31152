"""What is made of the messages of an execution."""

from __future__ import annotations

import nbformat
from hypothesis import given
from hypothesis import strategies as st
from kernelyard.wire.message import build, new_header
from kernelyard.wire.result import OUTPUT_TYPES, ErrorOutput, OutputCollector, to_output


def message(msg_type, **content):
    return build(new_header("1", msg_type, "u", "s"), content)


def collect(*messages, status="ok", **reply):
    collector = OutputCollector()
    for each in messages:
        collector.add(each)
    return collector.result(message("execute_reply", status=status, **reply))


def stream(text, name="stdout"):
    return message("stream", name=name, text=text)


def display(text, display_id=None, msg_type="display_data"):
    transient = {} if display_id is None else {"display_id": display_id}
    return message(msg_type, data={"text/plain": text}, metadata={}, transient=transient)


def texts(result):
    return [output.get("text") or output["data"]["text/plain"] for output in result.outputs]


def test_consecutive_text_of_one_stream_is_joined():
    result = collect(stream("a"), stream("b"), stream("c", "stderr"), stream("d"))
    assert texts(result) == ["ab", "c", "d"]
    assert (result.stdout, result.stderr) == ("abd", "c")
    assert result.streams == {"stdout": "abd", "stderr": "c"}


def test_the_value_is_the_execute_result_and_else_the_last_display():
    value = message("execute_result", data={"text/plain": "42"}, metadata={}, execution_count=3)
    assert collect(display("d"), value, display("e")).data == {"text/plain": "42"}
    assert collect(display("d"), display("e")).data == {"text/plain": "e"}
    assert collect(stream("x")).data == {}


def test_an_update_changes_the_display_of_that_id_wherever_it_is():
    update = display("new", "1", "update_display_data")
    result = collect(display("old", "1"), display("other", "2"), display("old", "1"), update)
    assert texts(result) == ["new", "other", "new"]


def test_clear_output_clears_at_once_or_before_the_next_output():
    assert collect(stream("a"), message("clear_output", wait=False)).outputs == []
    assert texts(collect(stream("a"), message("clear_output", wait=True))) == ["a"]
    assert texts(collect(stream("a"), message("clear_output", wait=True), stream("b"))) == ["b"]


def test_an_exception_is_an_error_and_an_output():
    error = message("error", ename="E", evalue="v", traceback=["t"])
    result = collect(error, status="error")
    assert result.error == ErrorOutput("E", "v", ("t",))
    assert [output["output_type"] for output in result.outputs] == ["error"]
    assert not result.ok


def test_an_exception_that_only_the_reply_tells_of_is_an_error():
    result = collect(status="error", ename="E", evalue="v", traceback=[], execution_count=7)
    assert (result.error, result.outputs, result.execution_count) == (ErrorOutput("E", "v", ()), [], 7)


def test_code_that_was_aborted_is_not_ok():
    result = collect(status="aborted")
    assert (result.ok, result.error) == (False, None)


def test_outputs_are_valid_in_a_notebook():
    result = collect(
        stream("a"),
        display("d"),
        message("execute_result", data={"text/plain": "1"}, metadata={}, execution_count=1),
        message("error", ename="E", evalue="v", traceback=["t"]),
    )
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.from_dict(each) for each in result.outputs])
    nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))


anything = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
contents = st.dictionaries(
    st.sampled_from(
        ["name", "text", "data", "metadata", "transient", "ename", "traceback", "wait", "execution_count"]
    ),
    anything | st.dictionaries(st.just("display_id"), anything),
)


@given(st.lists(st.tuples(st.sampled_from([*sorted(OUTPUT_TYPES), "status", "execute_input"]), contents)))
def test_whatever_the_kernel_says_makes_a_result(messages):
    result = collect(*(message(kind, **content) for kind, content in messages))
    assert isinstance(result.stdout, str)
    assert isinstance(result.data, dict)
    for kind, content in messages:
        to_output(message(kind, **content))
