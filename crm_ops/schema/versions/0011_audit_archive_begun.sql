-- Where the archive of an audit log was begun: a head lies there from then on, before the first link.
-- A place without it is not that place.
CREATE TABLE crm_ops.audit_archive (
    parent text PRIMARY KEY,
    url text NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now()
);
