-- Dated parameters: the thresholds of the rules. Each row is made by an event of the operator's chain.

CREATE TABLE parameter (
    name               text        NOT NULL,
    valid_from         date        NOT NULL,
    value              numeric     NOT NULL,
    document_kind      text        NOT NULL,
    document_number    text        NOT NULL,
    document_issued_on date,
    set_at             timestamptz NOT NULL,
    PRIMARY KEY (name, valid_from)
);
COMMENT ON TABLE parameter IS 'The values that the operator gave to the thresholds of the rules';
COMMENT ON COLUMN parameter.name IS 'The parameter';
COMMENT ON COLUMN parameter.valid_from IS 'First day in Kazakhstan on which the value is in force, until the next one';
COMMENT ON COLUMN parameter.value IS 'The value, in the unit of the parameter';
COMMENT ON COLUMN parameter.document_kind IS 'Kind of the document that decided it';
COMMENT ON COLUMN parameter.document_number IS 'Number of that document';
COMMENT ON COLUMN parameter.document_issued_on IS 'Day of that document';
COMMENT ON COLUMN parameter.set_at IS 'When the operator set it';
