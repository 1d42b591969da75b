-- The box around each plot, so that the tickets with overlapping plots are found without reading every plot.

ALTER TABLE felling_ticket
    ADD COLUMN plot_west  numeric(10,7),
    ADD COLUMN plot_south numeric(10,7),
    ADD COLUMN plot_east  numeric(10,7),
    ADD COLUMN plot_north numeric(10,7);
COMMENT ON COLUMN felling_ticket.plot_west IS 'Western border of the box around the plot, degrees';
COMMENT ON COLUMN felling_ticket.plot_south IS 'Southern border of the box around the plot, degrees';
COMMENT ON COLUMN felling_ticket.plot_east IS 'Eastern border of the box around the plot, degrees';
COMMENT ON COLUMN felling_ticket.plot_north IS 'Northern border of the box around the plot, degrees';

UPDATE felling_ticket t
SET plot_west = b.west, plot_south = b.south, plot_east = b.east, plot_north = b.north
FROM (SELECT id, min(place[1]::numeric) AS west, min(place[2]::numeric) AS south,
             max(place[1]::numeric) AS east, max(place[2]::numeric) AS north
      FROM felling_ticket CROSS JOIN LATERAL regexp_matches(plot, '\[(-?[0-9.]+),(-?[0-9.]+)\]', 'g') AS place
      GROUP BY id) b
WHERE t.id = b.id;

ALTER TABLE felling_ticket
    ADD CONSTRAINT felling_ticket_plot_box_check
    CHECK (num_nulls(plot, plot_west, plot_south, plot_east, plot_north) IN (0, 5)) NOT VALID;
ALTER TABLE felling_ticket VALIDATE CONSTRAINT felling_ticket_plot_box_check;

CREATE INDEX felling_ticket_plot_box ON felling_ticket
    USING gist (box(point(plot_west::float8, plot_south::float8), point(plot_east::float8, plot_north::float8)))
    WHERE plot IS NOT NULL;
COMMENT ON INDEX felling_ticket_plot_box IS 'For the tickets with plots that may overlap a plot';
