-- Sums of the logs with a volume declared to be from the table of GOST 2708-75, kept with the marked volume so
-- that a harvest compares them without reading the ticket's earlier logs.

ALTER TABLE ticket_line
    ADD COLUMN by_table_logs integer       NOT NULL DEFAULT 0 CHECK (by_table_logs >= 0),
    ADD COLUMN by_table_m3   numeric(14,4) NOT NULL DEFAULT 0 CHECK (by_table_m3 >= 0),
    ADD COLUMN table_m3      numeric(14,4) NOT NULL DEFAULT 0 CHECK (table_m3 >= 0);
COMMENT ON COLUMN ticket_line.by_table_logs IS 'Number of its logs with measurement method gost_2708_75 that the table covers';
COMMENT ON COLUMN ticket_line.by_table_m3 IS 'Sum of the declared volumes of these logs, cubic metres';
COMMENT ON COLUMN ticket_line.table_m3 IS 'Sum of the table''s volumes of these logs, cubic metres';

UPDATE ticket_line t
SET by_table_logs = sums.logs, by_table_m3 = sums.declared, table_m3 = sums.of_table
FROM (SELECT line_id, count(*) AS logs, sum(volume_m3) AS declared, sum(table_volume_m3) AS of_table
      FROM log
      WHERE kind = 'log' AND measurement_method = 'gost_2708_75' AND table_volume_m3 IS NOT NULL
        AND status <> 'annulled'
      GROUP BY line_id) sums
WHERE t.id = sums.line_id;
