-- Why a page of a run was not loaded just now.
SELECT CASE
    WHEN EXISTS (SELECT FROM pages WHERE run_id = %(run_id)s AND page = %(page)s AND error IS NULL) THEN 'loaded'
    WHEN EXISTS (SELECT FROM runs WHERE run_id = %(run_id)s AND error = 'stopped on request') THEN 'stopped'
    WHEN EXISTS (SELECT FROM key_versions WHERE is_overtaken(version, proof, %(key)s)) THEN 'keys'
    WHEN %(replay_of)s::uuid IS NOT NULL
        AND EXISTS (SELECT FROM runs WHERE run_id = %(run_id)s AND status_now(runs) = 'running') THEN 'seals'
    ELSE 'lease'
END;
