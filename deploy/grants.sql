-- The four database users of production, for MySQL 8 and MariaDB 10.6+ (Z7).
--
--   sed -e 's/DATABASE/desk/g' -e 's/HOST/10.0.0.%/g' -e 's/APP_PASSWORD/…/' -e 's/MIGRATE_PASSWORD/…/' \
--       -e 's/REPORT_PASSWORD/…/' -e 's/BACKUP_PASSWORD/…/' deploy/grants.sql | mysql -u root -p
--
-- DATABASE is the schema, HOST where the processes connect from. Passwords:
--   python -c 'import secrets; print(secrets.token_urlsafe(24))'
-- Run it after `flask db upgrade`, each time: grants on single tables need the table to exist, and the application
-- may write a new table only once it is named here. Running it again changes nothing.
--
-- Rows of `wallet_transactions`, `audit_log` and `compensation_history` are written once. Triggers say so to
-- everybody; these grants say so to the application even where somebody has taken the triggers away.

CREATE USER IF NOT EXISTS 'app'@'HOST' IDENTIFIED BY 'APP_PASSWORD';
CREATE USER IF NOT EXISTS 'migrate'@'HOST' IDENTIFIED BY 'MIGRATE_PASSWORD';
CREATE USER IF NOT EXISTS 'report'@'HOST' IDENTIFIED BY 'REPORT_PASSWORD';
CREATE USER IF NOT EXISTS 'backup'@'HOST' IDENTIFIED BY 'BACKUP_PASSWORD';

-- app: web, worker and scheduler. No DDL anywhere. It reads all tables, appends to the four logs, and writes the
-- others. A grant on the whole schema would take the logs with it: privileges add up and cannot be subtracted.
GRANT SELECT ON `DATABASE`.* TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`wallet_transactions` TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`audit_log` TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`audit_seals` TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`compensation_history` TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`day_closes` TO 'app'@'HOST';
GRANT INSERT ON `DATABASE`.`erasure_certificates` TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`adjustment_batch_rows`     TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`adjustment_batches`        TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`alerts`                   TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`arrears_steps`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`bill_lines`               TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`bookings`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`callback_nonces`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`change_requests`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`channel_paces`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`coaches`                  TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`compensation_lots`        TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`compensation_usages`      TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`course_schedules`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`course_types`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`courses`                  TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`families`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`health_checks`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`job_runs`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`late_refunds`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`ledger_anchor_leaves`     TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`ledger_anchors`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`levels`                   TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`long_job_rows`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`long_jobs`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`makeup_credits`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`makeup_failures`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`makeup_requests`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`message_consents`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`money_cases`              TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`notification_preferences` TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`notifications`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`offline_payments`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`outside_findings`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`payment_attempts`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`payment_notifications`    TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`payment_orders`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`payment_transactions`     TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`policies`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`profiles`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`rate_counts`              TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`reconcile_differences`    TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`reconcile_runs`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`receipt_bands`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`receipts`                 TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`refunds`                  TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`request_keys`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`search_terms`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`seat_refusals`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`seat_releases`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`seat_reservations`        TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`service_hours`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`sign_in_failures`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`slow_statements`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`staff`                    TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`staff_recovery_codes`     TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`staff_sessions`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`template_wordings`        TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`transaction_questions`    TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`trial_claims`             TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`user_sessions`            TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`users`                    TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`venues`                   TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`waitlist_entries`         TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`waitlist_flows`           TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`waitlist_notifications`   TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`waitlist_offers`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`waitlist_rounds`          TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`wallet_adjustments`       TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`wallets`                  TO 'app'@'HOST';
GRANT INSERT, UPDATE, DELETE ON `DATABASE`.`withdrawals`              TO 'app'@'HOST';

-- `audit_archives` is read by `app` and written by `migrate` alone: rows of the log go only where it names them.

-- migrate: `flask db upgrade`, and verified months that go to the archive. The ledger's triggers need TRIGGER and,
-- on a server with a binary log, log_bin_trust_function_creators=1 (docs/operations.md). Not for daily use.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER, LOCK TABLES
  ON `DATABASE`.* TO 'migrate'@'HOST';

-- report: figures for people with spreadsheets; nothing that identifies a parent or a child, nothing that signs in.
GRANT SELECT ON `DATABASE`.`wallets`             TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`wallet_transactions` TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`wallet_adjustments`  TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`withdrawals`         TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`course_types`        TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`courses`             TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`venues`              TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`course_schedules`    TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`bookings`            TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`makeup_credits`      TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`payment_orders`      TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`refunds`             TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`levels`              TO 'report'@'HOST';
GRANT SELECT ON `DATABASE`.`policies`            TO 'report'@'HOST';
GRANT SELECT (id, merged_into, created_at) ON `DATABASE`.`families` TO 'report'@'HOST';
GRANT SELECT (id, family_id, member_status, registered_at, enrolled_at) ON `DATABASE`.`users` TO 'report'@'HOST';
GRANT SELECT (id, family_id, gender, level_id, level_confirmed, status, created_at)
  ON `DATABASE`.`profiles` TO 'report'@'HOST';

-- backup: a consistent dump with its triggers and its position in the binary log; it writes nothing.
GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON `DATABASE`.* TO 'backup'@'HOST';
GRANT RELOAD, PROCESS, REPLICATION CLIENT ON *.* TO 'backup'@'HOST';
