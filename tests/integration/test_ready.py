"""/readyz while nothing can be recorded: whoever asks it sends clients elsewhere in time."""
import errno
import os

import pytest

import mails
from admin import admin
from dialog import Dialog, post
from waiting import wait_until


def test_a_spool_directory_that_cannot_be_written_is_not_ready(host, hosted, sink):
    host.fail(errno.EIO, "/incoming/")
    assert post(hosted.address).code == 451
    answer = wait_until(lambda: (a := admin(hosted, "/readyz")).status == 503 and a, "not ready")
    assert b"incoming" in answer.content, answer.content
    host.heal()
    # Nobody need send anything for that.
    wait_until(lambda: admin(hosted, "/readyz").status == 200, "ready again by itself")
    assert not [name for name in os.listdir(os.path.join(hosted.directory, "queue", "incoming"))
                if len(name) != 7], "nothing is left of the trial"
    assert post(hosted.address, mails.plain()).code == 250
    sink.wait_messages(1)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC],
                         ids=["EROFS", "EIO", "ENOSPC"])
def test_a_record_that_cannot_be_written_is_not_ready(number, host, hosted, sink):
    assert admin(hosted, "/readyz").status == 200
    host.fail(number, "/queue.db")
    assert post(hosted.address).code in (451, 452)
    answer = wait_until(lambda: (a := admin(hosted, "/readyz")).status == 503 and a, "not ready")
    assert answer.content.strip(), "why"
    with Dialog(hosted.address) as dialog:
        dialog.ehlo()
        assert dialog.command("MAIL FROM:<a@client.test>").code in (451, 452)
    assert admin(hosted, "/healthz").status == 200
    host.heal()
    wait_until(lambda: admin(hosted, "/readyz").status == 200, "ready again by itself")
    assert post(hosted.address, mails.plain()).code == 250
    sink.wait_messages(1)
