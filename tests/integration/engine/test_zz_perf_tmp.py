import time, statistics
from uuid import uuid4
from callboard.ledger import endings, totals
from callboard.ledger.facts import dumps
from tests.integration.engine.recorder_kit import ending, facts, light, recorder
def test_perf(board):
    own = recorder(board); wid=uuid4()
    new = endings._LIGHT
    old = new.replace(", trace_id, log)", ")").replace("reason, trace_id, log\nfrom","reason\nfrom").replace(", trace_id text, log json","")
    assert "trace_id" not in old
    def run(sql):
        batch=[ending(facts(), light(own)) for _ in range(50)]
        now=time.monotonic()
        given={"rows": dumps([endings._light_row(e,now) for e in batch]),"worker_id":wid,"totals":totals.fold(batch),"shard":0}
        with own._wire.cursor() as c:
            t=time.perf_counter(); c.execute(sql, given); return (time.perf_counter()-t)*1e6/50
    for s in (old,new): run(s)
    a,b=[],[]
    for _ in range(400): a.append(run(old)); b.append(run(new))
    print("PERF old median", round(statistics.median(a),2), "new", round(statistics.median(b),2), "us per run (wall, batches of 50)")
