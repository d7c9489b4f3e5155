-- What a registry keeps, and what each of its calls does, in one statement each: so that a call is one round trip, and no transaction
-- is left open by a node that dies. Whoever changes what a function does gives it another name: nodes of both releases may call it. Names of records cannot contain a semicolon, so no table of records has one of these names.
CREATE SCHEMA IF NOT EXISTS @schema@;

-- One row for each cluster. Every call locks it first, so that the calls of a cluster happen one after the other.
CREATE TABLE IF NOT EXISTS @schema@."clusters;" (
    cluster text PRIMARY KEY,
    revision bigint NOT NULL DEFAULT 0,
    stamp bigint NOT NULL DEFAULT 0,
    view bytea
);

CREATE TABLE IF NOT EXISTS @schema@."leases;" (
    cluster text NOT NULL,
    name text NOT NULL,
    incarnation bigint NOT NULL,
    lease_grant bigint NOT NULL,
    about bytea NOT NULL,
    expires timestamptz NOT NULL,
    PRIMARY KEY (cluster, name)
);

-- Notes that something changed.
CREATE OR REPLACE FUNCTION @schema@."stamp;"(of_cluster text) RETURNS void AS $body$
BEGIN
    UPDATE @schema@."clusters;" SET stamp = stamp + 1 WHERE cluster = of_cluster;
    PERFORM pg_notify('deepstream registry', of_cluster);
END $body$ LANGUAGE plpgsql;

-- Waits for the calls before this one, and ends the leases that are over.
CREATE OR REPLACE FUNCTION @schema@."enter;"(of_cluster text) RETURNS void AS $body$
BEGIN
    INSERT INTO @schema@."clusters;" (cluster) VALUES (of_cluster) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM @schema@."clusters;" WHERE cluster = of_cluster FOR UPDATE;
    DELETE FROM @schema@."leases;" WHERE cluster = of_cluster AND expires <= clock_timestamp();
    IF FOUND THEN
        PERFORM @schema@."stamp;"(of_cluster);
    END IF;
END $body$ LANGUAGE plpgsql;

-- What there is: a row for the view (kind 1), which stays away if its revision is known, and one for each lease (kind 2).
CREATE OR REPLACE FUNCTION @schema@."seen;"(of_cluster text, known bigint)
RETURNS TABLE (kind int, first bigint, second bigint, third bigint, content bytea, holder text) AS $body$
    SELECT 1, revision, stamp, 0::bigint, CASE WHEN revision = known THEN NULL ELSE view END, NULL
        FROM @schema@."clusters;" WHERE cluster = of_cluster
    UNION ALL
    SELECT 2, incarnation, ceil(extract(epoch FROM expires - clock_timestamp()) * 1000)::bigint, lease_grant, about, name
        FROM @schema@."leases;" WHERE cluster = of_cluster
$body$ LANGUAGE sql VOLATILE;

CREATE OR REPLACE FUNCTION @schema@."look;"(of_cluster text, known bigint)
RETURNS TABLE (kind int, first bigint, second bigint, third bigint, content bytea, holder text) AS $body$
BEGIN
    PERFORM @schema@."enter;"(of_cluster);
    RETURN QUERY SELECT * FROM @schema@."seen;"(of_cluster, known);
END $body$ LANGUAGE plpgsql;

-- A row of kind 0 is the lease that another process holds; no row: it has lapsed.
CREATE OR REPLACE FUNCTION @schema@."renew;"(
    of_cluster text, of_name text, of_incarnation bigint, of_grant bigint, fresh boolean, says bytea, milliseconds bigint, known bigint
) RETURNS TABLE (kind int, first bigint, second bigint, third bigint, content bytea, holder text) AS $body$
DECLARE
    held record;
    until timestamptz;
BEGIN
    PERFORM @schema@."enter;"(of_cluster);
    until := clock_timestamp() + milliseconds * interval '1 millisecond';
    SELECT l.incarnation, l.lease_grant, l.about, l.expires INTO held
        FROM @schema@."leases;" l WHERE l.cluster = of_cluster AND l.name = of_name;
    IF NOT FOUND THEN
        IF NOT fresh THEN
            RETURN;
        END IF;
        INSERT INTO @schema@."leases;" VALUES (of_cluster, of_name, of_incarnation, of_grant, says, until);
        PERFORM @schema@."stamp;"(of_cluster);
    ELSIF held.incarnation <> of_incarnation THEN
        RETURN QUERY SELECT 0, s.first, s.second, s.third, s.content, s.holder
            FROM @schema@."seen;"(of_cluster, known) s WHERE s.kind = 2 AND s.holder = of_name;
        RETURN;
    ELSIF held.lease_grant > of_grant OR (held.lease_grant < of_grant AND NOT fresh) THEN
        RETURN;
    ELSE
        UPDATE @schema@."leases;" l SET about = says, lease_grant = of_grant,
            expires = CASE WHEN l.lease_grant = of_grant THEN greatest(l.expires, until) ELSE until END
            WHERE l.cluster = of_cluster AND l.name = of_name;
        IF held.about <> says OR held.lease_grant <> of_grant THEN
            PERFORM @schema@."stamp;"(of_cluster);
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM @schema@."seen;"(of_cluster, known);
END $body$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION @schema@."release;"(
    of_cluster text, of_name text, of_incarnation bigint, of_grant bigint
)
RETURNS void AS $body$
BEGIN
    PERFORM @schema@."enter;"(of_cluster);
    DELETE FROM @schema@."leases;" 
        WHERE cluster = of_cluster AND name = of_name AND incarnation = of_incarnation AND lease_grant = of_grant;
    IF FOUND THEN
        PERFORM @schema@."stamp;"(of_cluster);
    END IF;
END $body$ LANGUAGE plpgsql;

-- The revision that is there now, and whether it is the one that was asked for; no row if the lease is not held.
CREATE OR REPLACE FUNCTION @schema@."swap;"(
    of_cluster text, expected bigint, content bytea, of_name text, of_incarnation bigint, of_grant bigint
) RETURNS TABLE (present bigint, done boolean) AS $body$
BEGIN
    PERFORM @schema@."enter;"(of_cluster);
    PERFORM 1 FROM @schema@."leases;" l
        WHERE l.cluster = of_cluster AND l.name = of_name AND l.incarnation = of_incarnation
            AND l.lease_grant = of_grant;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE @schema@."clusters;" c SET view = content, revision = c.revision + 1
        WHERE c.cluster = of_cluster AND c.revision = expected;
    done := FOUND;
    IF done THEN
        PERFORM @schema@."stamp;"(of_cluster);
    END IF;
    SELECT c.revision INTO present FROM @schema@."clusters;" c WHERE c.cluster = of_cluster;
    RETURN NEXT;
END $body$ LANGUAGE plpgsql;
