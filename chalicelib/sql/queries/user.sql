-- One person as stored: functions/person.sql.
SELECT person(%(uid)s);
