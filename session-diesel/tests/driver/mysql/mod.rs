//! MySQL and MariaDB.

mod connect_typeorm;
mod connections;
mod doctor;
mod errors;
mod hostile;
mod life;
mod principals;
mod rows;
mod schema;
mod secrets;
mod statements;
mod support;

use libtest_mimic::Trial;

use crate::support::on_a_server;

const URL: &str = "SESSION_STORE_MYSQL_URL";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = on_a_server![
        "mysql", URL;
        connect_typeorm::a_destroyed_session_is_marked_as_node_reads_it,
        connect_typeorm::a_lax_server_cuts_nothing,
        connect_typeorm::a_store_that_takes_no_notice_of_the_mark_is_found_out,
        connect_typeorm::a_table_that_we_make_is_the_one_that_typeorm_makes,
        connect_typeorm::an_entity_without_destroyed_at_is_recognised,
        connect_typeorm::an_id_is_found_through_the_primary_key,
        connect_typeorm::no_character_is_lost_in_another_character_set,
        connect_typeorm::no_session_of_another_id_is_met,
        connect_typeorm::table_and_columns_may_have_other_names,
        connect_typeorm::what_is_forgotten_leaves_an_empty_row_that_node_can_read,
        connect_typeorm::what_node_left_reads_as_node_reads_it,
        connect_typeorm::a_row_that_a_strange_index_refuses_has_no_taken_id,
        connections::a_closed_connection_is_replaced,
        connections::a_refused_connection_says_why,
        connections::credentials_may_stand_apart_from_the_url,
        connections::credentials_of_a_callback_are_asked_for_each_connection,
        doctor::the_doctor_finds_what_is_wrong,
        doctor::the_doctor_finds_wrong_settings,
        errors::a_batch_is_in_doubt_from_its_commit_on,
        errors::a_payload_over_the_packet_is_too_large,
        errors::a_purge_that_fails_halfway_is_in_doubt,
        errors::faults_are_told_apart,
        errors::no_language_of_the_server_changes_an_outcome,
        life::a_broken_connection_is_not_an_outage,
        life::a_connection_closed_while_idle_is_no_outage,
        life::a_far_server_comes_back,
        life::a_locked_table_fills_no_server,
        life::a_silent_loss_costs_less_than_a_deadline,
        life::a_slow_login_is_waited_for_in_the_background,
        principals::a_principal_is_ended_past_a_row_that_moves_backwards,
        principals::a_principal_is_ended_through_rotations,
        principals::a_principal_is_forgotten_through_rotations,
        principals::a_removing_end_by_principal_leaves_empty_rows_for_the_next_purge,
        rows::a_lax_server_cuts_nothing,
        rows::a_version_that_cannot_be_read_harms_no_other_write_of_its_batch,
        rows::every_number_comes_back,
        rows::numbers_sent_as_text_are_read,
        rows::values_of_growing_size_are_never_cut,
        schema::a_table_is_made_once_by_many,
        secrets::nothing_secret_is_logged,
        secrets::what_diesel_s_own_connections_show,
        statements::a_load_of_a_known_version_moves_no_payload,
        statements::a_row_is_changed_by_its_key_alone,
        statements::each_operation_is_one_round_trip_prepared_once,
        statements::loads_and_throttled_touches_write_nothing,
    ];
    trials.extend(connections::trials());
    trials.extend(hostile::trials());
    trials
}
