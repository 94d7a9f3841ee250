"""A Messages API that follows a script: real HTTP and SSE, on loopback only.

It answers the model ids that begin with `scripted-`; `scripted-demo` is the one it
lists. The script stands in the conversation, in the last fence of the
last user message that has one:

    ```script
    [{"say": "I look around.", "tools": [{"name": "bash", "input": {"command": "ls"}}]},
     {"say": "I saw: {{last_result}}"}]
    ```

with a JSON list of steps, or one step a line. Each step is one reply, and the next
step is the number of assistant messages since that message. The server remembers
nothing of it, so a harness that resumes elsewhere goes on where it was. (A reply
without any content leaves no message behind, so its step would come again.)

A step may have:
    say         text; `{{last_result}}` stands for the text of the last tool result
    words       say so many numbered words instead
    think       a thinking block before it, signed; it must come back unchanged
    tools       calls `{"name", "input"}`; all of them are made in this one reply
    chunks      in how many pieces the text comes (default: about 12 letters each,
                with `words` one word each)
    delay_ms    pause before each piece (default 0)
    wait_ms     pause before the first byte of the reply's content (default 0)
    stop        "refusal", "pause_turn", or "max_tokens" (the last call is cut in half)
    error       an HTTP status: the request fails instead, as the real API fails
    retry_after seconds for the header of that name, with `error`
    midway      true: the error comes inside the stream, after the text
    cut         true: the connection breaks after the text
    times       an `error` or `cut` happens so often, and then the next step comes
                (default: always). Counted in this process, by the conversation's text.

A model id such as `scripted-window-8000` has a window of so many tokens; a longer
request is refused as too long. Asked to condense the conversation, the model answers
with what is left of its script, so that it goes on from there. (A conversation that
was retold as text has lost its script, unless the kept messages hold it.)

After its last step it says that the script is finished. A message without a script
gets a short, labelled demonstration with real tools.
"""

from sessions.harness.scripted_model.server import ScriptedModelServer

__all__ = ["ScriptedModelServer"]
