"""What rq and NetBox's pages make of a worker that writes Redis by itself: the contract of the queue takeover."""

import pytest
from foreign_worker import ForeignWorker, next_command

QUEUE = "hooks"


@pytest.fixture
def worker(redis):
    worker = ForeignWorker(redis, QUEUE)
    worker.register()
    return worker


@pytest.fixture
def side(rq_side):
    """The tool, with `--queue hooks` where a queue is wanted."""

    def call(command, *args, **kwargs):
        queued = command in ("enqueue", "registries", "pages", "clean", "work")
        return rq_side(command, *(["--queue", QUEUE] if queued else []), *args, **kwargs)

    return call


def one_job(side, *args):
    [job] = side("enqueue", *args)["ids"]
    return job


def test_a_foreign_worker_is_in_the_worker_list_until_it_unregisters(worker, side):
    [seen] = side("pages")["workers"]
    assert (seen["name"], seen["state"], seen["queues"], seen["pid"]) == ("foreign", "busy", [QUEUE], 4711)
    assert seen["birth"] == seen["last_heartbeat"] and 0 < seen["ttl"] <= 480

    worker.unregister()

    assert side("pages")["workers"] == []


def test_a_worker_whose_hash_expired_is_forgotten(worker, redis, side):
    redis.delete(worker.key)

    assert side("registries")["workers"] == []
    assert redis.smembers("rq:workers") == set()


def test_a_taken_job_is_started_and_finishes_with_our_text(worker, redis, side):
    first, second = side("enqueue", "--count", 2)["ids"]

    assert worker.take() == first

    registries = side("registries")
    assert (registries["queued"], registries["started"], registries["intermediate"]) == ([second], [first], [])
    job = side("job", first)
    assert (job["status"], job["worker_name"], len(job["executions"])) == ("started", "foreign", 1)
    [row] = side("pages")["tasks"]["started"]
    assert row["id"] == first and "event_rule" in row["arguments"]

    worker.finish(first, "delivered: 204 – schön")

    pages = side("pages")
    assert (pages["queue"]["started_jobs"], pages["queue"]["finished_jobs"]) == (0, 1)
    assert pages["tasks"]["finished"][0]["result"] == "delivered: 204 – schön"
    assert pages["workers"][0]["successful_job_count"] == 1
    job = side("job", first)
    assert job["results"][0]["return_value"] == "delivered: 204 – schön"
    assert 0 < job["ttl"] <= 500 and 0 < job["results_ttl"] <= 500


def test_a_failed_job_shows_our_text_and_can_be_requeued_and_taken_again(worker, redis, side):
    job = one_job(side)
    worker.take()
    worker.fail(job, "status 503 – später")

    pages = side("pages")
    assert pages["tasks"]["failed"][0]["exception"] == "status 503 – später"
    assert pages["workers"][0]["failed_job_count"] == 1
    before = side("job", job)
    assert before["results"][0]["exc_string"] == "status 503 – später"

    side("requeue", job)

    after = side("job", job)
    assert after["status"] == "queued" and after["enqueued_at"] > before["enqueued_at"]
    assert (after["started_at"], after["ended_at"], after["exc_info_field"]) == (None, None, "")
    # rq leaves the life time of the failure on the hash, and the name of the worker in it.
    assert after["ttl"] > 0 and after["worker_name"] == "foreign"
    assert worker.take() == job
    assert side("job", job)["ttl"] == -1


def test_without_the_exc_info_field_the_page_shows_no_exception(worker, redis, side):
    job = one_job(side)
    worker.take()
    worker.fail(job, "text")
    redis.hdel(f"rq:job:{job}", "exc_info")

    assert side("pages")["tasks"]["failed"][0]["exception"] is None


def test_a_heartbeat_in_time_keeps_started_jobs_and_a_missed_one_fails_them(worker, side):
    job = one_job(side)
    worker.take(ttl=90)

    assert side("clean", "--ahead", 60)["after"]["started"] == [job]
    worker.heartbeat(ttl=3600)
    assert side("clean", "--ahead", 600)["after"]["started"] == [job]

    assert side("clean", "--ahead", 4000)["moved_to"] == {"queued": [], "failed": [job], "scheduled": []}
    assert "AbandonedJobError" in side("job", job)["results"][0]["exc_string"]


def test_a_started_job_without_an_end_is_never_given_up_and_can_still_be_deleted(worker, redis, side):
    job = one_job(side)
    worker.take()
    redis.zadd(f"rq:wip:{QUEUE}", {f"{job}:{worker.held[job]}": "+inf"})
    redis.zadd(f"rq:executions:{job}", {worker.held[job]: "+inf"})

    assert side("clean", "--ahead", 1_000_000_000)["after"]["started"] == [job]

    assert [row["id"] for row in side("pages")["tasks"]["started"]] == [job]
    side("delete", job)
    assert redis.keys("rq:*execution*") == [] and side("registries")["started"] == []


def test_merely_looking_at_the_pages_fails_expired_started_jobs(worker, side):
    job = one_job(side)
    worker.take(ttl=-1)

    pages = side("pages")

    assert (pages["queue"]["started_jobs"], pages["queue"]["failed_jobs"]) == (0, 1)
    assert side("job", job)["status"] == "failed"


@pytest.mark.parametrize(("interval", "where"), [(60, "scheduled"), (0, "queued")])
def test_an_expired_started_job_with_retries_left_is_retried_by_rq(worker, side, interval, where):
    job = one_job(side, "--retry", 2, "--retry-interval", interval)
    worker.take()

    moved = side("clean", "--ahead", 200)["moved_to"]

    assert moved[where] == [job] and moved["failed"] == []
    assert side("job", job)["retries_left"] == 1


def test_a_deferred_job_shows_our_text_and_never_expires(worker, side):
    job = one_job(side)
    worker.take()
    worker.defer(job, "the receiver is down since 12:00")

    side("clean", "--ahead", 100_000_000)

    pages = side("pages")
    assert pages["queue"]["deferred_jobs"] == 1
    [row] = pages["tasks"]["deferred"]
    assert (row["status"], row["meta"]) == ("deferred", {"waiting": "the receiver is down since 12:00"})


def test_forced_enqueue_of_a_deferred_job_leaves_it_in_the_deferred_registry_until_taken(worker, side):
    job = one_job(side)
    worker.take()
    worker.defer(job, "waiting")

    side("enqueue-job", job)

    registries = side("registries")
    assert (registries["queued"], registries["deferred"]) == ([job], [job])
    worker.take()
    assert side("registries")["deferred"] == []


def test_forced_enqueue_of_a_started_job_brings_its_id_a_second_time(worker, side):
    job = one_job(side)
    worker.take()
    before = side("job", job)["enqueued_at"]

    side("enqueue-job", job)

    registries = side("registries")
    assert (registries["queued"], registries["started"]) == ([job], [job])
    after = side("job", job)
    assert after["status"] == "queued" and after["enqueued_at"] > before


def test_delete_of_a_started_job_cleans_up_and_a_heartbeat_does_not_bring_it_back(worker, redis, side):
    job = one_job(side)
    worker.take()

    side("delete", job)
    worker.heartbeat()

    assert not redis.exists(f"rq:job:{job}", f"rq:wip:{QUEUE}", f"rq:executions:{job}")
    assert side("pages")["queue"]["started_jobs"] == 0


def test_without_execution_keys_delete_leaves_a_started_entry_that_breaks_the_page(worker, side):
    job = one_job(side)
    worker.take(executions=False)

    side("delete", job)

    assert side("registries")["started"] == [job]
    assert side("pages", status=1)["error"] == "NotImplementedError"


def test_an_execution_without_its_hash_breaks_delete(worker, redis, side):
    job = one_job(side)
    worker.take()
    redis.delete(f"rq:execution:{job}:{worker.held[job]}")

    assert side("delete", job, status=1)["error"] == "ValueError"


def test_writing_to_a_deleted_job_leaves_a_hash_that_no_page_can_show(worker, redis, side):
    job = one_job(side)
    worker.take()
    side("delete", job)

    worker.finish(job, "delivered")

    assert side("job", job, status=1)["error"] == "NoSuchJobError"
    assert side("pages", status=1)["error"] == "NoSuchJobError"


def test_stop_reaches_the_worker_named_in_the_job(worker, side):
    job = one_job(side)
    worker.take()
    commands = worker.commands()

    assert side("stop", job)["stopped"] is True

    assert next_command(commands) == {"command": "stop-job", "job_id": job}
    commands.close()
    assert side("job", job)["status"] == "started"


def test_jobs_in_the_intermediate_list_are_given_up_a_minute_after_a_worker_first_saw_them(worker, side):
    job = one_job(side)
    worker.move()

    assert side("clean")["after"]["intermediate"] == [job]
    assert side("clean", "--ahead", 50)["after"]["intermediate"] == [job]
    assert side("clean", "--ahead", 70)["moved_to"]["failed"] == [job]
    assert "stuck in intermediate queue" in side("job", job)["results"][0]["exc_string"]


def test_the_pages_leave_the_intermediate_list_alone(worker, side):
    job = one_job(side)
    worker.move()

    side("pages")
    side("pages")

    assert side("registries")["intermediate"] == [job]


def test_a_started_job_may_stay_in_the_intermediate_list(worker, redis, side):
    job = one_job(side)
    worker.take()
    redis.rpush(f"rq:queue:{QUEUE}:intermediate", job)

    side("clean")
    after = side("clean", "--ahead", 80)["after"]

    assert (after["intermediate"], after["started"], after["failed"]) == ([job], [job], [])


def test_a_left_over_first_seen_mark_makes_rq_give_up_a_requeued_job_at_first_sight(worker, redis, side):
    job = one_job(side)
    worker.move()
    side("clean")
    worker.start(job)
    assert redis.keys("rq:queue:*:first_seen:*") == []

    worker.fail(job, "503")
    side("requeue", job)
    worker.move()
    redis.set(f"rq:queue:{QUEUE}:intermediate:first_seen:{job}", 1)

    assert side("clean")["moved_to"]["failed"] == [job]


def test_a_real_worker_on_the_same_queue_leaves_our_started_jobs_alone(worker, side, receiver):
    ours = one_job(side)
    worker.take()
    theirs = one_job(side)

    side("work", "--url", receiver.url)

    registries = side("registries")
    assert (registries["started"], registries["finished"]) == ([ours], [theirs])
    assert [seen["name"] for seen in registries["workers"]] == ["foreign"]
