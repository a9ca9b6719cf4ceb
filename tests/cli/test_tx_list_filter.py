"""`tx list --filter`: the daemons choose, and say what is wrong with a filter that is none."""

from support.pool import Pool
from support.site import Site, wait_until


def test_only_those_transactions_are_listed_and_counted_for_which_every_word_holds(site: Site) -> None:
    pool = Pool(site)

    def total(*words: str) -> int:
        return int(site.json("tx", "list", *words)["total"])

    with pool.stopped(), pool.writing("1M", "64K"):
        wait_until(lambda: total("pool") == 1, "the write waits for one member")
        assert total("pool", "--filter", "op:write node:n1 age<1h") == 1
        assert total("--filter", "-op:read length>=64K") == 1
        assert total("pool", "--filter", "op:write -node:n1") == 0
        assert total("pool/n1", "--filter", "age>1h") == 0
        listed = site.json("tx", "list", "pool", "--filter", "op:read")
        assert (listed["states"], listed["transactions"]) == ({}, [])
